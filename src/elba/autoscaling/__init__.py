"""EC2 Auto Scaling: groups, policies, activities."""
