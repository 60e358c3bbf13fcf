"""Elastic Load Balancing's first API (2012-06-01). There are no Classic Load Balancers yet: it says so when asked.

Clients that look for a load balancer of any kind (Ansible's `elb_classic_lb`, migration tools) ask this API too.
"""
