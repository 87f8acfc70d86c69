"""Exchange of fitted models with other libraries, and training on several machines."""
