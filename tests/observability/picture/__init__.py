"""The overview as a picture, where there is no Grafana: its panels, drawn from what a real Prometheus recorded."""
