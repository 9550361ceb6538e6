"""The drawings of the pages, inline, so that they take the colour of the text beside them."""

from django.template import Library
from django.utils.safestring import SafeString, mark_safe

register = Library()

# Lines on a field of 24 × 24.
_ICONS = {
    "dashboard": '<path d="M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z"/>',
    "holdings": '<path d="M4 6h16M4 12h16M4 18h10"/><circle cx="19" cy="18" r="1"/>',
    "performance": '<path d="M4 20h16M4 15l5-5 3.500 3.500L20 6M15.500 6H20v4.500"/>',
    "accounts": '<path d="M3 10l9-6 9 6M5 10v8M10 10v8M14 10v8M19 10v8M3 20h18"/>',
    "reconcile": '<path d="M4 7h10M4 12h7M4 17h5M13 16l3 3 5-7"/>',
    "sync": '<path d="M20 11a8 8 0 0 0-14.9-3M4 4v4h4M4 13a8 8 0 0 0 14.9 3M20 20v-4h-4"/>',
    "settings": (
        '<path d="M4 7h8M18 7h2M4 17h2M12 17h8"/><circle cx="15" cy="7" r="3"/><circle cx="9" cy="17" r="3"/>'
    ),
    "income": '<path d="M4 20h16M6 16v-4M11 16V8M16 16v-6M16 3v4M14 5l2 2 2-2"/>',
    "realized": '<path d="M4 19h16M5 15l4-5 4 3 6-8M15 5h4v4"/>',
    "fees": '<path d="M6 3h12v18l-3-2-3 2-3-2-3 2zM9 8h6M9 12h6"/>',
    "contributions": '<path d="M8 4v14M4 14l4 4 4-4M16 20V6M12 10l4-4 4 4"/>',
    "cash": '<rect x="3" y="6" width="18" height="12" rx="1.5"/><circle cx="12" cy="12" r="2.5"/>',
    "diversification": '<path d="M4 4h9v16H4zM13 4h7v9h-7zM13 13h7v7h-7z"/>',
    "exposures": '<path d="M12 4v16M7 20h10M5 8l7-2 7 2M5 8l-2.5 6h5zM19 8l-2.5 6h5z"/>',
    "targets": '<circle cx="12" cy="12" r="8.5"/><circle cx="12" cy="12" r="4"/>',
    "activities": '<path d="M8 6h12M8 12h12M8 18h12M4 5.500v1M4 11.500v1M4 17.500v1"/>',
    "import": '<path d="M12 3v10M8 9.500l4 4 4-4M4 15v5h16v-5"/>',
    "menu": '<path d="M4 7h16M4 12h16M4 17h16"/>',
    "download": '<path d="M12 4v11M7.5 10.5L12 15l4.5-4.5M4 20h16"/>',
    "theme": '<circle cx="12" cy="12" r="8"/><path class="solid" d="M12 4a8 8 0 0 1 0 16z"/>',
    "search": '<circle cx="10.5" cy="10.5" r="6.5"/><path d="M20 20l-4.8-4.8"/>',
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "ok": '<circle cx="12" cy="12" r="9"/><path d="M8 12.5l2.7 2.7L16 9.5"/>',
    "warning": '<path d="M12 4L2.8 20h18.4zM12 10v4.5M12 17.2v.1"/>',
    "error": '<circle cx="12" cy="12" r="9"/><path d="M12 7.5V13M12 16.2v.1"/>',
    "waiting": '<circle cx="12" cy="12" r="9"/><path d="M12 7v5l3.2 2"/>',
    "up": '<path d="M6 14l6-6 6 6"/>',
    "down": '<path d="M6 10l6 6 6-6"/>',
    "left": '<path d="M14 6l-6 6 6 6"/>',
    "right": '<path d="M10 6l6 6-6 6"/>',
    "key": '<circle cx="8" cy="15" r="4.5"/><path d="M11.3 11.7L20 3M16 7l3 3"/>',
    "file": '<path d="M14 3H6v18h12V7zM14 3v4h4M9 13h6M9 17h6"/>',
    "play": '<path d="M7 4.5v15l12-7.5z"/>',
    "inbox": '<path d="M4 13l2.5-8h11L20 13v6H4zM4 13h5l1.2 2.5h3.6L15 13h5"/>',
    "lock": '<rect x="5" y="11" width="14" height="9" rx="1.5"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """A small drawing beside a text; it says nothing that the text does not."""
    return mark_safe(f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{_ICONS[name]}</svg>')  # noqa: S308
