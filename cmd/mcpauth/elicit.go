package main

import "mcpauth/pkg/mcpclient"

func elicitor(p *program, how string) (mcpclient.Elicitor, error) { return nil, nil }
