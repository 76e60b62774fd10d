"""The dashboards that Grafana is provisioned with. `python -m config.dashboards` writes their files again."""
