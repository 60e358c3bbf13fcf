"""Lambda: functions that load balancers, alarms and clients invoke, run as processes of this machine."""
