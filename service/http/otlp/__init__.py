"""Logs by OTLP/HTTP, the protocol of OpenTelemetry's exporters and collectors."""
