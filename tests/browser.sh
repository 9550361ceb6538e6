#!/bin/sh
# Sees to it that a Chromium is there for the tests of the pages, through the system's package manager.
set -eu

found() {
    for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
        command -v "$name" && return
    done
    for path in "/Applications/Chromium.app/Contents/MacOS/Chromium" \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        [ -x "$path" ] && echo "$path" && return
    done
    return 1
}

install_command() {
    if command -v apt-get >/dev/null; then
        # Debian's package is chromium, Ubuntu's is chromium-browser.
        get="DEBIAN_FRONTEND=noninteractive apt-get install -y -qq"
        echo "apt-get update -qq && { $get chromium || $get chromium-browser; }"
    elif command -v dnf >/dev/null; then
        echo "dnf install -y -q chromium"
    elif command -v pacman >/dev/null; then
        echo "pacman -Sy --noconfirm chromium"
    elif command -v apk >/dev/null; then
        echo "apk add --quiet chromium"
    elif command -v brew >/dev/null; then
        echo "brew install --cask chromium"
    fi
}

found >/dev/null && exit 0
command=$(install_command)
if [ -z "$command" ]; then
    echo "error: The tests of the pages need Chromium, and no package manager that is known was found." >&2
    echo "next step: Install Chromium or Chrome, then run make test again." >&2
    exit 1
fi
case "$command" in brew*) ;; *)
    if [ "$(id -u)" != 0 ]; then
        echo "error: The tests of the pages need Chromium." >&2
        echo "next step: Type this, then make test again: sudo sh -c '$command'" >&2
        exit 1
    fi ;;
esac
echo "Installing Chromium for the tests of the pages ..."
sh -c "$command" >/dev/null
found >/dev/null
