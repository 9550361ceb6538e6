"""IBKR's words in Flex statements and what they are here: sections, fields, codes, kinds.

Everything in these tables is a word that real statements use. A word that is missing from them never
fails a row: the row is typed as far as it goes and the word is shown in the inbox.
"""

import re
from dataclasses import dataclass

from stonks_overwatch.ledger.types import ActivityKind


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Sections that a complete history needs: where they stand in IBKR's form, what is missing without them,
# and the topic whose activities they tell in full.


@dataclass(frozen=True, slots=True)
class Section:
    name: str  # in the XML
    box: str  # in the form of the query
    tells: str


WANTED = (
    Section("AccountInformation", "Account Information", "the account's currency and opening date"),
    Section("Trades", "Trades (level of detail: Executions)", "purchases, sales and currency exchanges"),
    Section(
        "CashTransactions", "Cash Transactions (level of detail: Detail)",
        "deposits, dividends, interest, fees and taxes",
    ),
    Section("CorporateActions", "Corporate Actions", "splits, mergers, spin-offs and the like"),
    Section("Transfers", "Transfers", "securities and cash moved from and to other accounts"),
    Section("OpenPositions", "Open Positions (level of detail: Summary)", "what is held, to check against"),
    Section("CashReport", "Cash Report", "cash per currency, to check against"),
    Section("EquitySummaryInBase", "Net Asset Value (NAV) in Base", "the account's value of each day"),
    Section("ChangeInNAV", "Change in NAV", "the period's totals, to check against"),
    Section("SecuritiesInfo", "Financial Instrument Information", "ISINs and terms of what was traded"),
    Section("ConversionRates", 'General option "Include Currency Rates"', "the broker's exchange rates"),
    Section("OpenDividendAccruals", "Open Dividend Accruals", "dividends declared and not paid yet"),
    Section("ChangeInDividendAccruals", "Change in Dividend Accruals", "the tax and fee of each dividend"),
    Section("InterestAccruals", "Interest Accruals", "interest earned and not paid yet"),
    Section("TransactionTaxes", "Transaction Fees", "stamp duties and other taxes on trades"),
    Section("SalesTaxes", "Sales Tax", "taxes on the broker's fees"),
    Section("StmtFunds", "Statement of Funds", "cash day by day: what futures settled, what others lack"),
)  # fmt: skip
WANTED_CONFIRMATIONS = (Section("TradeConfirms", "Trade Confirmation", "the day's purchases and sales"),)

TOPICS = {
    "Trades": "trades",
    "CashTransactions": "cash",
    "CorporateActions": "corporate_actions",
    "Transfers": "transfers",
    "TradeConfirms": "trades",
}

# A trade of these moves no cash but its commission: gains and losses arrive by daily settlement.
MARGINED = frozenset({"FUT", "CFD", "FXCFD", "FSOPT", "FSFOP"})
RIGHTS = {"C": "call", "CALL": "call", "P": "put", "PUT": "put"}

# The level of detail of rows that do not name theirs.
LEVELS = {
    "Trade": "EXECUTION",
    "TradeConfirm": "EXECUTION",
    "TradeTransfer": "EXECUTION",
    "Order": "ORDER",
    "SymbolSummary": "SYMBOL_SUMMARY",
    "AssetSummary": "ASSET_SUMMARY",
    "WashSale": "WASH_SALE",
}

# Notes on a trade that say how it came about, the one that says most first.
TRADE_SUBTYPES = {
    "A": "assignment",
    "Ex": "exercise",
    "AEx": "exercise",
    "MEx": "exercise",
    "GEA": "exercise",
    "Ep": "expiration",
    "R": "reinvestment",
    "L": "margin liquidation",
    "LF": "margin liquidation",
    "B": "buy-in",
    "AFx": "auto conversion",
    "T": "transfer",
}
EXERCISES = frozenset({"assignment", "exercise"})
CODES = _words(
    """A ADR AEx AFx Adj Al Aw B Bo C CD CP Ca Co Cx D ETF Ep Ex F FP FPA G GEA HC HFI HFR I IA IM INV
    IPO L LD LF LI LT Lo M MEx ML MLG MLL MSG MSL O P PE PI Po Pr PTA R RED RI RP RPA Re Rb S SI SL SO SS
    ST SY T UL XO"""
)

CANCELLED = "(Ca.)"
TRANSACTION_TYPES = {
    "ExchTrade": "",
    "BookTrade": "",
    "FracShare": "fractional share",
    "FracShareCancel": "cancellation",
    "TradeCancel": "cancellation",
    "TradeCorrect": "correction",
    "DvpTrade": "delivery against payment",
}


@dataclass(frozen=True, slots=True)
class CashKind:
    kind: ActivityKind
    subtype: str
    outflow: ActivityKind | None = None  # the kind when money leaves, where that is another one


_DEPOSIT = CashKind(ActivityKind.DEPOSIT, "", ActivityKind.WITHDRAWAL)
CASH_TYPES = {
    "deposits/withdrawals": _DEPOSIT,
    "deposits & withdrawals": _DEPOSIT,
    "deposits": _DEPOSIT,
    "withdrawals": _DEPOSIT,
    "dividends": CashKind(ActivityKind.DIVIDEND, ""),
    "payment in lieu of dividends": CashKind(ActivityKind.DIVIDEND, "payment in lieu"),
    "withholding tax": CashKind(ActivityKind.TAX, "withholding tax"),
    "871(m) withholding": CashKind(ActivityKind.TAX, "871(m) withholding tax"),
    "transaction tax": CashKind(ActivityKind.TAX, "transaction tax"),
    "sales tax": CashKind(ActivityKind.TAX, "sales tax"),
    "broker interest paid": CashKind(ActivityKind.INTEREST, "debit interest"),
    "broker interest received": CashKind(ActivityKind.INTEREST, "credit interest"),
    "bond interest paid": CashKind(ActivityKind.INTEREST, "bond interest"),
    "bond interest received": CashKind(ActivityKind.INTEREST, "bond interest"),
    "other fees": CashKind(ActivityKind.FEE, ""),
    "broker fees": CashKind(ActivityKind.FEE, "broker fee"),
    "advisor fees": CashKind(ActivityKind.FEE, "advisor fee"),
    "management fees": CashKind(ActivityKind.FEE, "management fee"),
    "client fees": CashKind(ActivityKind.FEE, "client fee"),
    "commission adjustments": CashKind(ActivityKind.FEE, "commission adjustment"),
    "commission credits": CashKind(ActivityKind.FEE, "commission credit"),
    "cfd charges": CashKind(ActivityKind.INTEREST, "cfd financing"),
    "debit card activity": CashKind(ActivityKind.DEPOSIT, "debit card", ActivityKind.WITHDRAWAL),
    "bill pay": CashKind(ActivityKind.DEPOSIT, "bill payment", ActivityKind.WITHDRAWAL),
    "donations": CashKind(ActivityKind.DEPOSIT, "donation", ActivityKind.WITHDRAWAL),
    "price adjustments": CashKind(ActivityKind.OTHER, "price adjustment"),
    "other income": CashKind(ActivityKind.OTHER, "other income"),
}
# Lines of the statement of funds by their code, in the words of the cash transactions ...
FUND_TYPES = {
    "DEP": "Deposits/Withdrawals",
    "WITH": "Deposits/Withdrawals",
    "DIV": "Dividends",
    "PIL": "Payment In Lieu Of Dividends",
    "FRTAX": "Withholding Tax",
    "CINT": "Broker Interest Received",
    "DINT": "Broker Interest Paid",
    "INTR": "Bond Interest Received",
    "INTP": "Bond Interest Paid",
    "OFEE": "Other Fees",
    "STAX": "Sales Tax",
}
# ... those that tell of trades, exercises, currency exchanges and corporate actions ...
FUND_SECTIONS = {
    **dict.fromkeys(("BUY", "SELL", "FOREX", "ASSIGN", "EXE", "EXP", "COMM", "TTAX"), "Trades"),
    "CORP": "CorporateActions",
}
# ... and what futures settled, in no code of its own.
FUND_BALANCES = frozenset({"Starting Balance", "Ending Balance"})
FUND_SETTLEMENT = re.compile(r"\bMTM\b", re.IGNORECASE)
# For a type that is in no table: a word in it that leaves little doubt.
CASH_WORDS = (
    ("tax", CASH_TYPES["withholding tax"].kind),
    ("dividend", ActivityKind.DIVIDEND),
    ("interest", ActivityKind.INTEREST),
    ("fee", ActivityKind.FEE),
    ("commission", ActivityKind.FEE),
)

# What the description says beyond the type; the first that matches.
DESCRIPTIONS: dict[ActivityKind, tuple[tuple[re.Pattern[str], str], ...]] = {
    ActivityKind.DIVIDEND: (
        (re.compile(r"return of capital", re.IGNORECASE), "return of capital"),
        (re.compile(r"payment in lieu", re.IGNORECASE), "payment in lieu"),
        (re.compile(r"capital gain|distribution of gain", re.IGNORECASE), "capital gains distribution"),
    ),
    ActivityKind.INTEREST: (
        (re.compile(r"\bSYEP\b|stock yield|securities lent|lending", re.IGNORECASE), "stock loan"),
        (re.compile(r"borrow fee", re.IGNORECASE), "borrow fee"),
    ),
    ActivityKind.FEE: (
        (re.compile(r" - FEE$|\bADR\b", re.IGNORECASE), "adr fee"),
        (re.compile(r"borrow fee|stock borrow", re.IGNORECASE), "borrow fee"),
        (
            re.compile(
                r"\bsnapshot\b|\blevel (?:1|2|i|ii)\b|\bL[12]\b|\btape [abc]\b|\bOPRA\b|market data"
                r"|\bquotes?\b|non-?pro(?:fessional)?\b|\bbundle\b",
                re.IGNORECASE,
            ),
            "market data",
        ),
        (re.compile(r"minimum|inactivity|maintenance|activity fee", re.IGNORECASE), "account fee"),
    ),
}


@dataclass(frozen=True, slots=True)
class ActionKind:
    kind: ActivityKind
    subtype: str


_ACTION = ActivityKind.CORPORATE_ACTION
ACTION_TYPES = {
    "FS": ActionKind(ActivityKind.SPLIT, "split"),
    "FI": ActionKind(ActivityKind.SPLIT, "split"),
    "RS": ActionKind(ActivityKind.SPLIT, "reverse split"),
    "CS": ActionKind(ActivityKind.SPLIT, "contract split"),
    "SD": ActionKind(_ACTION, "stock dividend"),
    "SO": ActionKind(_ACTION, "spin-off"),
    "CO": ActionKind(_ACTION, "contract spin-off"),
    "TC": ActionKind(_ACTION, "merger"),
    "TO": ActionKind(_ACTION, "tender"),
    "TI": ActionKind(_ACTION, "tender issue"),
    "IC": ActionKind(_ACTION, "issue change"),
    "RI": ActionKind(_ACTION, "rights issue"),
    "DI": ActionKind(_ACTION, "rights issue"),
    "SR": ActionKind(_ACTION, "rights subscription"),
    "ED": ActionKind(_ACTION, "rights expiration"),
    "CD": ActionKind(ActivityKind.DIVIDEND, "cash dividend"),
    "CH": ActionKind(_ACTION, "choice dividend"),
    "HI": ActionKind(_ACTION, "choice dividend"),
    "HD": ActionKind(_ACTION, "choice dividend"),
    "DW": ActionKind(_ACTION, "worthless"),
    "CP": ActionKind(ActivityKind.INTEREST, "bond interest"),
    "BM": ActionKind(_ACTION, "bond maturity"),
    "TM": ActionKind(_ACTION, "bill maturity"),
    "BC": ActionKind(_ACTION, "bond conversion"),
    "CI": ActionKind(_ACTION, "convertible issue"),
    "PI": ActionKind(_ACTION, "share purchase issue"),
    "OR": ActionKind(_ACTION, "asset purchase"),
    "PV": ActionKind(_ACTION, "proxy vote"),
    "GV": ActionKind(_ACTION, "voluntary offer"),
    "CA": ActionKind(_ACTION, "contract adjustment"),
    "CC": ActionKind(_ACTION, "contract consolidation"),
    "CT": ActionKind(_ACTION, "cfd termination"),
    "FA": ActionKind(ActivityKind.FEE, "fee allocation"),
}
# Statements of earlier years have no type.
ACTION_DESCRIPTIONS = (
    (re.compile(r"\bspin-?off\b", re.IGNORECASE), ACTION_TYPES["SO"]),
    (re.compile(r"\bstock dividend\b", re.IGNORECASE), ACTION_TYPES["SD"]),
    (
        re.compile(r"\bmerge[dr]\b|\bmerger\b|\bacqui(?:sition|red)\b|\bliquidation\b", re.IGNORECASE),
        ACTION_TYPES["TC"],
    ),
    (re.compile(r"\btendered\b|\btender\b", re.IGNORECASE), ACTION_TYPES["TO"]),
    (re.compile(r"\brights? issue\b", re.IGNORECASE), ACTION_TYPES["RI"]),
    (re.compile(r"\bsubscri", re.IGNORECASE), ACTION_TYPES["SR"]),
    (re.compile(r"\bdelisted\b|\bworthless\b", re.IGNORECASE), ACTION_TYPES["DW"]),
    (re.compile(r"\b(?:bond )?maturity\b|\bcall(?:ed)?\b|\bredemption\b", re.IGNORECASE), ACTION_TYPES["BM"]),
    (re.compile(r"\b(?:cusip|isin|symbol|name)\b.*\bchange", re.IGNORECASE), ACTION_TYPES["IC"]),
    (re.compile(r"\bsplit\b", re.IGNORECASE), ACTION_TYPES["FS"]),
    (re.compile(r"\bcash dividend\b", re.IGNORECASE), ACTION_TYPES["CD"]),
    (re.compile(r"\bcoupon\b", re.IGNORECASE), ACTION_TYPES["CP"]),
)

# Rows of numbers to reconcile against: every number in them is kept, named as IBKR names it.
FIGURES = _words(
    """CashReportCurrency EquitySummaryByReportDateInBase ChangeInNAV OpenPosition ChangeInDividendAccrual
    OpenDividendAccrual InterestAccrualsCurrency FIFOPerformanceSummaryUnderlying
    MTMPerformanceSummaryUnderlying MTDYTDPerformanceSummaryUnderlying ChangeInPositionValue
    HardToBorrowDetail SLBFee SLBOpenContract SLBCollateral TierInterestDetail PriorPeriodPosition
    NetStockPosition UnsettledTransfer PendingExcercise FxPosition MutualFundDividendDetail
    IncentiveCouponAccrualDetail StockGrantActivity UnbundledCommissionDetail RoutingCommission
    ClientFeesDetail"""
)
# In place of a currency: the sum of all, in the account's.
ALL_CURRENCIES = "BASE_SUMMARY"
# The same amounts by segment of the account and for other periods.
FIGURE_REPEATS = ("Sec", "Com", "MTD", "YTD", "Long", "Short", "Paxos", "Crypto")
# Numbers that name or describe, and are no amounts.
NOT_FIGURES = _words(
    """accountId conid underlyingConid fxRateToBase multiplier strike principalAdjustFactor cusip securityID
    underlyingSecurityID isin figi transactionID tradeID actionID orderID ibOrderID symbol underlyingSymbol
    originatingOrderID originatingTransactionID fineness weight serialNumber expiry reportDate date
    fromDate toDate exDate payDate settleDate valueDate tradeDate dateTime openDateTime
    holdingPeriodDateTime vestingDate acctAlias model description code"""
)

# Rows that tell again, in another form, what other sections tell.
TOLD_ELSEWHERE = _words(
    """StatementOfFundsLine FxTransaction FxLot OptionEAE SLBActivity TransferLot ComplexPosition"""
)
# The sections without which such rows are the only witnesses.
WITNESSED_BY = {
    "OptionEAE": "Trades",
    "TransferLot": "Transfers",
}

_COMMON = """accountId acctAlias model currency fxRateToBase assetCategory subCategory symbol description
    conid securityID securityIDType cusip isin figi listingExchange underlyingConid underlyingSymbol
    underlyingSecurityID underlyingListingExchange issuer issuerCountryCode multiplier strike expiry putCall
    principalAdjustFactor reportDate levelOfDetail code serialNumber deliveryType commodityType fineness
    weight"""
_TRADE = f"""{_COMMON} transactionType tradeID transactionID ibExecID ibOrderID tradeDate tradeTime dateTime
    settleDateTarget exchange buySell quantity tradePrice tradeMoney proceeds taxes ibCommission
    ibCommissionCurrency netCash netCashInBase closePrice openCloseIndicator notes cost fifoPnlRealized
    capitalGainsPnl fxPnl mtmPnl orderType orderTime accruedInt origTradeID origTradeDate origTransactionID
    origTradePrice origOrderID relatedTradeID relatedTransactionID openDateTime holdingPeriodDateTime
    whenRealized whenReopened clearingFirmID brokerageOrderID orderReference volatilityOrderLink exchOrderId
    extExecID changeInPrice changeInQuantity traderID isAPIOrder initialInvestment rtn positionActionID
    fxRateToBaseOnTradeDate realizedPnl ibCommissionInBase otherCommission"""
_CONFIRM = f"""{_TRADE} execID orderID price amount commission commissionCurrency tax settleDate allocatedTo
    brokerExecutionCommission brokerClearingCommission thirdPartyExecutionCommission
    thirdPartyClearingCommission thirdPartyRegulatoryCommission blockID orderQuantity"""
KNOWN_FIELDS = {
    tag: frozenset(fields.split())
    for tag, fields in {
        "Trade": _TRADE,
        "Order": _CONFIRM,
        "TradeConfirm": _CONFIRM,
        "TradeTransfer": f"""{_TRADE} brokerName brokerAccount awayBrokerCommission regulatoryFee direction
            deliveredReceived netTradeMoney netTradeMoneyInBase netTradePrice""",
        "CashTransaction": f"""{_COMMON} type dateTime date settleDate exDate amount transactionID tradeID
            actionID clientReference availableForTradingDate""",
        "CorporateAction": f"""{_COMMON} type actionID actionDescription dateTime date quantity amount
            proceeds value cost fifoPnlRealized capitalGainsPnl fxPnl mtmPnl transactionID settleDate
            exDate""",
        "Transfer": f"""{_COMMON} type direction date dateTime settleDate account accountName company
            deliveringBroker quantity transferPrice positionAmount positionAmountInBase pnlAmount
            pnlAmountInBase fxPnl cashTransfer transactionID clientReference openDateTime
            holdingPeriodDateTime cost""",
        "OpenPosition": f"""{_COMMON} position side markPrice positionValue positionValueInBase openPrice
            costBasisPrice costBasisMoney percentOfNAV fifoPnlUnrealized accruedInt openDateTime
            holdingPeriodDateTime vestingDate originatingOrderID originatingTransactionID
            unrealizedCapitalGainsPnl unrealizedlFxPnl unrealizedFxPnl""",
        "SecurityInfo": f"{_COMMON} type maturity issueDate underlyingCategory settlementPolicyMethod",
        "ConversionRate": "reportDate fromCurrency toCurrency rate",
        "SalesTax": f"""{_COMMON} date country taxType payer taxableDescription taxableAmount taxRate
            salesTax taxableTransactionID transactionID""",
        "TransactionTax": f"""{_COMMON} date taxDescription quantity taxAmount tradeId tradeID tradePrice
            source orderId""",
        "CFDCharge": f"{_COMMON} date activityDescription received paid total transactionID",
        "DebitCardActivity": f"""{_COMMON} status postingDate transactionDateTime category
            merchantNameLocation amount""",
    }.items()
}
KNOWN_FIELDS["TransactionTaxDetail"] = KNOWN_FIELDS["TransactionTax"]

# Rows that need an account and become something.
READ = (
    _words(
        """AccountInformation Trade Order SymbolSummary AssetSummary WashSale Lot TradeConfirm TradeTransfer
    CashTransaction CorporateAction Transfer SalesTax TransactionTax TransactionTaxDetail CFDCharge
    DebitCardActivity ClientFee"""
    )
    | FIGURES
)

# The section of a row's tag, for rows that stand without one and for telling which sections a file has.
SECTION_OF = {
    "AccountInformation": "AccountInformation",
    "ChangeInNAV": "ChangeInNAV",
    "Trade": "Trades",
    "Order": "Trades",
    "SymbolSummary": "Trades",
    "AssetSummary": "Trades",
    "WashSale": "Trades",
    "Lot": "Trades",
    "CashTransaction": "CashTransactions",
    "CorporateAction": "CorporateActions",
    "Transfer": "Transfers",
    "TradeConfirm": "TradeConfirms",
    "OpenPosition": "OpenPositions",
    "CashReportCurrency": "CashReport",
    "EquitySummaryByReportDateInBase": "EquitySummaryInBase",
    "SecurityInfo": "SecuritiesInfo",
    "ConversionRate": "ConversionRates",
    "OpenDividendAccrual": "OpenDividendAccruals",
    "ChangeInDividendAccrual": "ChangeInDividendAccruals",
    "InterestAccrualsCurrency": "InterestAccruals",
    "TransactionTax": "TransactionTaxes",
    "SalesTax": "SalesTaxes",
    "StatementOfFundsLine": "StmtFunds",
    "ClientFee": "ClientFees",
    "HardToBorrowDetail": "HardToBorrowDetails",
    "SLBFee": "SLBFees",
}
