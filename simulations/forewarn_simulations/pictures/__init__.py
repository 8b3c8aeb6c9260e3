"""Pictures for reports: matplotlib figures as inline SVG that follows the page's colours, light or dark."""
