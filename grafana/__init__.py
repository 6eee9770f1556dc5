"""The dashboards, and the script that writes them."""
