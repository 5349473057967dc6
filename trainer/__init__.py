"""Labels to models."""
