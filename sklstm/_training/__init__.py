"""From samples and settings to trained parameters."""
