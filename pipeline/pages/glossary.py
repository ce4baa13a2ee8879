"""What the terms of the pages mean: each is explained where it stands."""

TERMS = {
    "temperature": "A number by which the network's outputs are divided before they become scores. It is fitted to the"
    " validation images: above 1 it makes scores less sure, below 1 surer. It never changes which class comes first.",
    "adjusted p": "How likely a loss as large as this one is by chance alone, adjusted for the number of classes that"
    " are looked at (Benjamini and Hochberg). Small values are evidence of a real loss.",
    "negative flips": "Images that the champion names right and the candidate does not. A user who relied on the"
    " champion meets these first.",
    "open:below-cutoff": "Labelled images of classes that have too few images to be trained: the model does not know"
    " the class, and should answer unknown.",
    "open:unknown": "Library images that people could not name: the model should answer unknown.",
    "train": "The images that the network was trained on. A score on them says how far it has fitted them, no more.",
    "val": "The images that chose when training stops. The network was not trained on them.",
    "test": "Images that took no part in training, split off at random by groups.",
    "top-1": "The share of the images whose highest score is that of the right class.",
    "top-5": "The share of the images whose right class is among the five highest scores.",
    "macro F1": "The mean of the classes' F1, the harmonic mean of precision and recall: a rare class counts as much as"
    " a common one.",
    "weighted F1": "The mean of the classes' F1, each class weighted by its images.",
    "log loss": "The mean of -log(score of the right class). It also punishes confident errors; lower is better.",
    "calibration error": "How far scores are from the share that is right, on average over bins of the score. Honest"
    " scores have a small one by chance alone.",
    "shown": "The share of the images whose answer reaches its threshold, so that a user sees it.",
    "right when shown": "The share of the answers shown that are right.",
    "refused": "Of the images of classes that the model does not know: the share whose answer is unknown, as it should"
    " be.",
    "out of class": "Images of classes that the model does not know.",
    "recall": "The share of a class's images that the model names.",
    "precision": "The share of the images named as this class that belong to it.",
    "unseen": "The share of its images that a class must lose before that is sure in four of five draws.",
    "would tell": "So many images tell a loss from none with a chance of 80 %.",
    "must exclude": "The loss, in points, that the interval must exclude for the rule to be met.",
    "torn": "Images that are tied to a training image by a copy, a burst or people's group: they leave every figure.",
    "likeness": "The cosine of the frozen features of two images: 1 for equal ones.",
    "cutoff": "The number of groups that a class needs to be trained.",
    "groups": "Near-duplicates and copies are one group: it counts once towards the cutoff.",
    "independent": "Images that belong together, such as those of one burst, count once.",
    "standing": "in: the class is trained; near: it is close to the cutoff; below: it has too few groups; retired:"
    " people retired it.",
}
