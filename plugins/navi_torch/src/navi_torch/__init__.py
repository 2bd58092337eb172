"""PyTorch models on navi: TorchScript, torch.export programs and AOTInductor packages."""
