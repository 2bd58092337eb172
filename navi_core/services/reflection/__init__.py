"""gRPC server reflection: what tools without protos (grpcurl, Postman) ask for."""
