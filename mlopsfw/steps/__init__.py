"""The steps that come with mlopsfw. Each module offers one by the hook `mlopsfw_steps`, as any plugin would."""
