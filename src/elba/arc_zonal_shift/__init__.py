"""Application Recovery Controller's zonal shift: load balancers and Auto Scaling groups turn away from a zone."""
