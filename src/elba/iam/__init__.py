"""IAM: roles, instance profiles, policies, users and access keys; global to an account."""
