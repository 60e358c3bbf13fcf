"""Systems Manager's Parameter Store, with AWS's public parameters for machine images."""
