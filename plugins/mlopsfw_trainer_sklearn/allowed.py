"""What a file of skops may hold: for each of its loaders the types that it may make. The list is fixed.

Left out on purpose are types whose arrays scikit-learn's C code indexes without looking at their bounds (trees, neighbours,
support vectors, splines): a forged file could crash the process or read beyond the array. ONNX holds these. Left out are also
functions, methods and all types that take functions to work: a file then could choose what is called.
"""

from __future__ import annotations

_ESTIMATORS: dict[str, str] = {
    "calibration": "CalibratedClassifierCV _CalibratedClassifier _SigmoidCalibration",
    "compose._column_transformer": "ColumnTransformer",
    "compose._target": "TransformedTargetRegressor",
    "decomposition._factor_analysis": "FactorAnalysis",
    "decomposition._fastica": "FastICA",
    "decomposition._incremental_pca": "IncrementalPCA",
    "decomposition._lda": "LatentDirichletAllocation",
    "decomposition._nmf": "NMF MiniBatchNMF",
    "decomposition._pca": "PCA",
    "decomposition._truncated_svd": "TruncatedSVD",
    "discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "dummy": "DummyClassifier DummyRegressor",
    "ensemble._stacking": "StackingClassifier StackingRegressor",
    "ensemble._voting": "VotingClassifier VotingRegressor",
    "feature_extraction._dict_vectorizer": "DictVectorizer",
    "feature_extraction._hash": "FeatureHasher",
    "feature_extraction.text": "CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer",
    "feature_selection._from_model": "SelectFromModel",
    "feature_selection._rfe": "RFE RFECV",
    "feature_selection._univariate_selection": "GenericUnivariateSelect SelectFdr SelectFpr SelectFwe SelectKBest SelectPercentile",
    "feature_selection._variance_threshold": "VarianceThreshold",
    "impute._base": "MissingIndicator SimpleImputer",
    "kernel_approximation": "AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler",
    "linear_model._base": "LinearRegression",
    "linear_model._bayes": "ARDRegression BayesianRidge",
    "linear_model._coordinate_descent": "ElasticNet ElasticNetCV Lasso LassoCV",
    "linear_model._glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor",
    "linear_model._huber": "HuberRegressor",
    "linear_model._least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
    "linear_model._logistic": "LogisticRegression LogisticRegressionCV",
    "linear_model._omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
    "linear_model._passive_aggressive": "PassiveAggressiveClassifier PassiveAggressiveRegressor",
    "linear_model._perceptron": "Perceptron",
    "linear_model._quantile": "QuantileRegressor",
    "linear_model._ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
    "linear_model._stochastic_gradient": "SGDClassifier SGDRegressor",
    "linear_model._theil_sen": "TheilSenRegressor",
    "_loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
    "_loss.loss": "HalfGammaLoss HalfPoissonLoss HalfTweedieLoss HalfTweedieLossIdentity",
    "multiclass": "OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier _ConstantPredictor",
    "naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB",
    "neighbors._nearest_centroid": "NearestCentroid",
    "neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor",
    "neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "pipeline": "FeatureUnion Pipeline",
    "preprocessing._data": "Binarizer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer QuantileTransformer RobustScaler StandardScaler",
    "preprocessing._discretization": "KBinsDiscretizer",
    "preprocessing._encoders": "OneHotEncoder OrdinalEncoder",
    "preprocessing._function_transformer": "FunctionTransformer",
    "preprocessing._label": "LabelBinarizer LabelEncoder",
    "preprocessing._polynomial": "PolynomialFeatures",
    "preprocessing._target_encoder": "TargetEncoder",
    "random_projection": "GaussianRandomProjection SparseRandomProjection",
}
_LOSSES: dict[str, str] = {
    "_loss._loss": (
        "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss "
        "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss"
    ),
    "linear_model._sgd_fast": "EpsilonInsensitive Hinge ModifiedHuber SquaredEpsilonInsensitive SquaredHinge",
}
_NUMPY = frozenset(
    "numpy." + name
    for name in [
        "bool",
        "bool_",
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "str_",
        "datetime64",
        "timedelta64",
    ]
)


def _under(package: str, names: dict[str, str]) -> frozenset[str]:
    return frozenset(f"{package}.{module}.{name}" for module, types in names.items() for name in types.split())


ALLOWED: dict[str, frozenset[str]] = {
    "DTypeNode": frozenset({"numpy.dtype"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}),
    "FunctionNode": _under(
        "sklearn", {"feature_selection._univariate_selection": "chi2 f_classif f_regression r_regression"}
    ),
    "JsonNode": frozenset({"builtins.str"}),
    "ListNode": frozenset({"builtins.list"}),
    "LossNode": _under("sklearn", _LOSSES),
    "NdArrayNode": _NUMPY | {"numpy.ndarray"},
    "ObjectNode": _under("sklearn", _ESTIMATORS),
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "SetNode": frozenset({"builtins.set"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "SparseMatrixNode": _under(
        "scipy.sparse", {"_csc": "csc_array csc_matrix", "_csr": "csr_array csr_matrix", "_dia": "dia_array dia_matrix"}
    ),
    "TupleNode": frozenset({"builtins.tuple"}),
    "TypeNode": _NUMPY | {f"builtins.{name}" for name in ("bool", "float", "int", "str")},
}
"""Loader of skops → the types that it may make. A loader that is not here makes none."""
