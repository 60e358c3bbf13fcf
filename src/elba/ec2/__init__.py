"""EC2: networks, images, launch templates and instances, as far as load balancing and scaling need them."""
