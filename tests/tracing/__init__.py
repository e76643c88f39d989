"""Traces and metrics as a collector gets them: real nodes, a real collector that decodes OpenTelemetry's protobuf."""
