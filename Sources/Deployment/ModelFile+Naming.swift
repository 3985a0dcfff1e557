import Tensors

extension ModelFile {
  /// The tensors under the names of `scheme`, in the file's order and with its metadata: the same
  /// network for another program.
  package func tensors(named scheme: KeyScheme) -> NamedTensors { scheme.naming(tensors) }

  /// The tensors with 0 for every count of batches that is missing: some programs leave these out, and
  /// they only count.
  package var completedTensors: NamedTensors {
    var completed = tensors
    for name in outline.missingBatchCounts {
      completed[name] = Tensor(shape: [], integers: [0])
    }
    return completed
  }
}

extension KeyScheme {
  /// A RepVGG's tensors, which come under published names, under those of this scheme; order and
  /// metadata stay.
  package func naming(_ published: NamedTensors) -> NamedTensors {
    guard self != .published else { return published }
    var named = NamedTensors()
    named.metadata = published.metadata
    for (name, tensor) in published {
      guard let translated = KeyScheme.published.translate(name, to: self) else {
        preconditionFailure("\(name) is no published name of a RepVGG's tensor")
      }
      named[translated] = tensor
    }
    return named
  }
}
