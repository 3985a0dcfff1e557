/// What a directory tree is to programs, and what of it the disk holds: files whose fsync has not
/// returned, and entries of directories whose fsync has not, may be lost with the power.
struct DiskModel {
  /// What a disk makes of what was not brought to it.
  enum Loss: String, CaseIterable {
    /// Everything was written after all, as on a file system that keeps the order.
    case nothing
    /// Files have their names, and nothing in them: names reached the disk before data.
    case data
    /// Files have their names and lengths, and zeros in them.
    case zeroed
    /// Names that were given, taken or removed since a directory's last fsync are as before.
    case names
  }

  private enum Node {
    case file(cached: [UInt8], durable: [UInt8])
    case directory(cached: [String: Int], durable: [String: Int])
  }

  private var nodes: [Node] = [.directory(cached: [:], durable: [:])]

  /// A tree that is on the disk: paths relative to the root, without directories.
  init(_ files: [String: [UInt8]]) {
    for (path, bytes) in files {
      var parent = 0
      let parts = path.split(separator: "/").map(String.init)
      for part in parts.dropLast() {
        parent = entry(parent, part) ?? add(part, .directory(cached: [:], durable: [:]), to: parent)
      }
      _ = add(parts[parts.count - 1], .file(cached: bytes, durable: bytes), to: parent)
    }
    for index in nodes.indices { synchronise(index) }
  }

  /// The number of what is called `path`; "" is the root.
  func find(_ path: String) -> Int? {
    path.split(separator: "/").reduce(0) { parent, part in
      parent.flatMap { entry($0, String(part)) }
    }
  }

  private func entry(_ parent: Int, _ name: String) -> Int? {
    guard case .directory(let cached, _) = nodes[parent] else { return nil }
    return cached[name]
  }

  private mutating func add(_ name: String, _ node: Node, to parent: Int) -> Int {
    nodes.append(node)
    set(parent, name, nodes.count - 1)
    return nodes.count - 1
  }

  private mutating func set(_ parent: Int, _ name: String, _ node: Int?) {
    guard case .directory(var cached, let durable) = nodes[parent] else { return }
    cached[name] = node
    nodes[parent] = .directory(cached: cached, durable: durable)
  }

  // MARK: - Calls

  mutating func makeDirectory(_ name: String, in parent: Int) {
    _ = add(name, .directory(cached: [:], durable: [:]), to: parent)
  }

  mutating func makeFile(_ name: String, in parent: Int) {
    _ = add(name, .file(cached: [], durable: []), to: parent)
  }

  mutating func append(_ bytes: [UInt8], to file: Int) {
    guard case .file(let cached, let durable) = nodes[file] else { return }
    nodes[file] = .file(cached: cached + bytes, durable: durable)
  }

  func length(of file: Int) -> Int {
    guard case .file(let cached, _) = nodes[file] else { return 0 }
    return cached.count
  }

  mutating func synchronise(_ node: Int) {
    switch nodes[node] {
    case .file(let cached, _): nodes[node] = .file(cached: cached, durable: cached)
    case .directory(let cached, _): nodes[node] = .directory(cached: cached, durable: cached)
    }
  }

  mutating func rename(_ old: String, to new: String, in parent: Int) {
    let node = entry(parent, old)
    set(parent, old, nil)
    set(parent, new, node)
  }

  mutating func remove(_ name: String, in parent: Int) { set(parent, name, nil) }

  // MARK: - What is found afterwards

  /// The tree after a loss of power: files by their paths, and all directories.
  func remains(_ loss: Loss) -> (files: [String: [UInt8]], directories: [String]) {
    var (files, directories) = ([String: [UInt8]](), [String]())
    collect(0, "", loss, &files, &directories)
    return (files, directories)
  }

  private func collect(
    _ node: Int, _ path: String, _ loss: Loss, _ files: inout [String: [UInt8]],
    _ directories: inout [String]
  ) {
    switch nodes[node] {
    case .file(let cached, let durable):
      files[path] =
        switch loss {
        case .nothing: cached
        case .data, .names: durable
        case .zeroed: durable + [UInt8](repeating: 0, count: cached.count - durable.count)
        }
    case .directory(let cached, let durable):
      if !path.isEmpty { directories.append(path) }
      for (name, child) in loss == .names ? durable : cached {
        collect(child, path.isEmpty ? name : "\(path)/\(name)", loss, &files, &directories)
      }
    }
  }
}
