"""scikit-learn on navi."""
