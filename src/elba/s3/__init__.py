"""S3: buckets and objects in the local bucket folders."""
