"""Takes the keys of confirmed cases: certificate, rules, idempotence, revision; answers chaff alike."""
