"""What a model is, its versions, and how it runs."""
