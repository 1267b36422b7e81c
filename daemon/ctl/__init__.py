"""`ostiaryctl`: an MQTT client that sends commands to gates and shows what they say."""
