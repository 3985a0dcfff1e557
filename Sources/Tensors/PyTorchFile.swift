extension NamedTensors {
  /// Reads weights from a safetensors file or a PyTorch file, told apart by their first bytes.
  ///
  /// - Throws: as `readSafetensors` and `readPyTorch`; `.damaged` for another kind of file, saying
  ///   what it is.
  package static func read(path: String) throws(TensorFileError) -> NamedTensors {
    let file = try InputFile(path: path)
    switch FileKind(prefix: try file.prefix(FileKind.prefixBytes)) {
    // Bytes that say nothing are refused there.
    case .safetensors, nil: return try readSafetensors(file)
    case .zip: return try readPyTorch(file)
    case .other(let name): throw FileKind.wrong(name, path: path)
    }
  }

  /// Reads the weights of a file of torch.save (PyTorch 1.6 and newer) without running any of it:
  /// the tensors of a dictionary, or of one that lies in it under a name of `PyTorchFile.wrappers`.
  /// What lies beside them is passed over. Names are as in the file, in its order; element types
  /// are treated as by `readSafetensors`.
  ///
  /// - Throws: `.missing`, `.permission`, `.io`, or `.damaged` naming the tensor, the byte, or
  ///   module and name of what the file wants to run.
  package static func readPyTorch(path: String) throws(TensorFileError) -> NamedTensors {
    try readPyTorch(InputFile(path: path))
  }

  private static func readPyTorch(_ file: borrowing InputFile) throws(TensorFileError)
    -> NamedTensors
  {
    let archive = try PyTorchArchive(file)
    let pickle = try Pickle(archive.pickle(), path: file.path)
    let weights = try PyTorchFile.weights(in: pickle, path: file.path)
    let bytes = try PyTorchFile.requireBounds(of: weights, in: archive)
    try file.requireMemory(for: bytes)
    var reader = StorageReader(archive)
    let tensors = try reader.read(weights.map(\.tensor))
    var result = NamedTensors()
    for (weight, tensor) in zip(weights, tensors) { result[weight.name] = tensor }
    return result
  }
}

/// Where the weights are among the objects of a PyTorch file.
enum PyTorchFile {
  /// Keys under which training code keeps a model's weights: the first that holds a dictionary of
  /// tensors counts, so that the trained weights come before their average.
  static let wrappers = [
    "state_dict", "model", "model_state_dict", "model_state", "net", "network", "module", "weights",
    "state_dict_ema", "model_ema", "ema_state_dict", "ema",
  ]
  /// Most wrappers inside each other.
  private static let maximumDepth = 4
  /// What views may take beyond the bytes of the file: weights that are tied lie there once.
  private static let surplusBytes = 8 << 20

  struct Weight: Sendable, Equatable {
    var name: String
    var tensor: Pickle.StoredTensor
  }

  static func weights(in pickle: Pickle, path: String) throws(TensorFileError) -> [Weight] {
    guard case .dictionary(let top) = pickle[pickle.root] else {
      throw TensorFileError(
        .damaged, path: path,
        "holds \(article(of: pickle[pickle.root])) in place of a dictionary of tensors; write "
          + "torch.save(model.state_dict(), path)")
    }
    var seen: Set<Pickle.Reference> = []
    guard let found = unwrap(pickle.root, pickle, depth: 0, &seen),
      case .dictionary(let items) = pickle[found]
    else {
      var keys: [String] = []
      for index in stride(from: 0, to: min(top.count, 16), by: 2) {
        if case .string(let key) = pickle[top[index]] { keys.append(quoted(key)) }
      }
      throw TensorFileError(
        .damaged, path: path,
        "holds no dictionary of tensors; its keys are "
          + (keys.isEmpty ? "no names" : keys.joined(separator: ", ")))
    }
    return try named(items, pickle, path: path)
  }

  /// The dictionary of tensors: that of a wrapper, else this one. `seen`: those that were looked
  /// at, as one may hold itself.
  private static func unwrap(
    _ dictionary: Pickle.Reference, _ pickle: Pickle, depth: Int,
    _ seen: inout Set<Pickle.Reference>
  ) -> Pickle.Reference? {
    guard depth < maximumDepth, seen.insert(dictionary).inserted,
      case .dictionary(let items) = pickle[dictionary]
    else { return nil }
    var inner: [String: Pickle.Reference] = [:]
    var holdsTensors = false
    for index in stride(from: 0, to: items.count, by: 2) {
      switch pickle[items[index + 1]] {
      case .dictionary:
        if case .string(let key) = pickle[items[index]] { inner[key] = items[index + 1] }
      case .tensor: holdsTensors = true
      default: break
      }
    }
    for wrapper in wrappers {
      if let content = inner[wrapper],
        let found = unwrap(content, pickle, depth: depth + 1, &seen)
      {
        return found
      }
    }
    return holdsTensors ? dictionary : nil
  }

  /// The tensors among `items`; what else lies there is passed over.
  private static func named(_ items: [Pickle.Reference], _ pickle: Pickle, path: String)
    throws(TensorFileError) -> [Weight]
  {
    var weights: [Weight] = []
    var names: Set<String> = []
    for index in stride(from: 0, to: items.count, by: 2) {
      guard case .tensor(let number) = pickle[items[index + 1]] else { continue }
      guard case .string(let name) = pickle[items[index]] else {
        throw TensorFileError(.damaged, path: path, "a tensor whose key is no name")
      }
      guard names.insert(name).inserted else {
        throw TensorFileError(.damaged, path: path, "tensor \(quoted(name)) is there twice")
      }
      weights.append(Weight(name: name, tensor: pickle.tensors[number]))
    }
    return weights
  }

  /// Holds the storages against the archive and all tensors together against the file, before
  /// memory is taken; returns their bytes.
  static func requireBounds(of weights: [Weight], in archive: PyTorchArchive)
    throws(TensorFileError) -> Int
  {
    var (total, sum) = (0, 0)
    var storages: Set<String> = []
    let limit = archive.bytes + surplusBytes
    for weight in weights {
      let (tensor, storage) = (weight.tensor, weight.tensor.storage)
      try archive.require(storage: storage.key, bytes: storage.bytes)
      guard tensor.bytes <= limit - total else {
        throw archive.damaged(
          "tensor \(quoted(weight.name)) of shape \(tensor.shape): the tensors up to it take more "
            + "memory than a file of \(archive.bytes) bytes may; are they expanded views?")
      }
      total += tensor.bytes
      if storages.insert(storage.key).inserted { sum += storage.bytes }
      // Each storage lies in the file, but two must not lie in the same place.
      guard sum <= archive.bytes else {
        throw archive.damaged("its storages lie over each other; is the file damaged?")
      }
    }
    return total
  }

  private static func article(of object: Pickle.Object) -> String {
    switch object {
    case .none: "None"
    case .boolean, .integer, .float: "a number"
    case .string, .bytes: "a string"
    case .tuple: "a tuple"
    case .list: "a list"
    case .dictionary: "a dictionary"
    case .tensor: "one tensor without a name"
    case .global, .storage, .opaque: "another object"
    }
  }
}
