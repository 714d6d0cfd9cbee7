"""The language that programs are written in: kinds, primitives, text, canonical form and executions."""
