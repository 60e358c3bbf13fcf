"""Elastic Load Balancing v2: load balancers, listeners, rules, target groups, targets."""
