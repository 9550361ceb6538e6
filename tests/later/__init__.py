"""A later version of the app: one more migration than there is now."""
