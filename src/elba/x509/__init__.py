"""X.509 certificates, their keys and revocation lists: read, judged and issued. Knows no service."""
