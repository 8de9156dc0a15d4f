module kubectl-mcp.dev/soak

go 1.26
