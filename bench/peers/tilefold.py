# SPDX-License-Identifier: MIT
"""tilefold through its shared library: weights packed once, each run one tilefold_execute()."""
import library
from peers import Built, NotSupported


class Peer:
    layouts = ("channels-first", "channels-last")

    def __init__(self, settings):
        self.settings = settings
        self.library = library.Library(settings.library)
        self.context = self.library.context(settings.threads, settings.isa)
        self.name = f"tilefold {self.library.version}"

    def variants(self, problem, layout):
        return [self.settings.math]  # what is chosen of it, the plan says

    def build(self, problem, layout, variant, tensor, weight, output):
        _, weight = problem.to_layout(layout, tensor, weight)
        kept = 0 if self.settings.prepack or layout == "channels-first" else weight.nbytes  # the weight as it came
        try:
            made = library.Convolution(self.library, self.context, problem, layout, (tensor, weight, output),
                                       self.settings)
        except library.Error as error:
            raise NotSupported(str(error)) from None
        return Built(made.runner(), lambda: output, copied_bytes=kept, planned_bytes=made.planned_bytes, note=made.description)
