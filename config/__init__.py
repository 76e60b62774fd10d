"""What a company decides: settings, and beside them plans, Prometheus and Grafana files."""
