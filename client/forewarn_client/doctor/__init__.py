"""What `forewarn-client doctor` looks at: one module an area, facts gathered apart from what is judged of them."""
