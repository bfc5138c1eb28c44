"""Any server that speaks the OpenAI protocol: requests, retries, load, token counts."""
