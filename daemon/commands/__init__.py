"""What may be asked of a gate over MQTT, and how it is answered."""
