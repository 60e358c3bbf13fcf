"""GetMetricWidgetImage: a metric widget's JSON, read (`widget`), laid out (`scales`) and painted (`painting`)."""
