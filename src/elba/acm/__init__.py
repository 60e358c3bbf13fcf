"""AWS Certificate Manager: imported certificates, and requested ones that Elba's own authority issues at once."""
