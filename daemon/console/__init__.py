"""`ostiary-console`: people at a desk in a browser, and a JSON API for scripts. It is an MQTT client with a key and nothing more."""
