import Foundation
import Testing

/// Who may import whom. The build itself lets imports of indirect dependencies pass.
struct ArrowTests {
  /// Modules of the toolchain that any file may use.
  private static let toolchain: Set<String> = [
    "Foundation", "FoundationEssentials", "Glibc", "Dispatch", "Synchronization",
  ]

  private static func manifest() throws -> Manifest {
    Manifest(text: try #require(Project.file("Package.swift")).text)
  }

  @Test func theManifestIsReadWhole() throws {
    let targets = Set(try Self.manifest().dependencies.keys)
    let directories = Set(
      (Project.sources + Project.tests).filter {
        $0.isSwift || $0.path.hasSuffix("module.modulemap")
      }.map(\.target))
    #expect(targets == directories)
    #expect(
      try Self.manifest().dependencies["RepVGGModel"] == ["Kernels", "Tensors", "RunPlanning"])
    #expect(try Self.manifest().dependencies["TidyTests"] == ["_TestSupport"])
  }

  @Test(arguments: (Project.sources + Project.tests).filter(\.isSwift))
  func importsAreDeclared(_ file: Project.File) throws {
    let declared = try #require(try Self.manifest().dependencies[file.target])
    var allowed = declared.union(Self.toolchain)
    if file.path.hasPrefix("Tests/") { allowed.insert("Testing") }
    for module in Self.imports(of: file) {
      #expect(
        allowed.contains(module),
        "\(file): imports \(module), which Package.swift does not declare for \(file.target)")
    }
  }

  @Test func declaredDependenciesAreUsed() throws {
    var imported: [String: Set<String>] = [:]
    for file in Project.sources where file.isSwift {
      imported[file.target, default: []].formUnion(Self.imports(of: file))
    }
    for (target, declared) in try Self.manifest().dependencies {
      guard let imported = imported[target] else { continue }
      let unused = declared.subtracting(imported).sorted()
      #expect(unused.isEmpty, "\(target) declares \(unused) and imports none of it")
    }
  }

  @Test func roomsHaveNamesThatSaySomething() throws {
    for target in try Self.manifest().dependencies.keys {
      for empty in ["Core", "Utils", "Utilities", "Common", "Manager", "Helpers"] {
        #expect(!target.contains(empty), "\(target) says nothing about what it holds")
      }
    }
  }

  /// The modules that a file imports, whatever stands before and behind the word `import`.
  private static func imports(of file: Project.File) -> [String] {
    file.lines.compactMap { line in
      let words = line.split(separator: " ")
      guard let position = words.firstIndex(of: "import"),
        words[..<position].allSatisfy({ $0.hasPrefix("@") || Self.accessWords.contains($0) })
      else { return nil }
      let named = words[(position + 1)...].first { !Self.kindWords.contains($0) }
      return named?.split(separator: ".").first.map(String.init)
    }
  }

  private static let accessWords: Set<Substring> = [
    "package", "internal", "private", "fileprivate", "public",
  ]
  private static let kindWords: Set<Substring> = [
    "struct", "class", "enum", "protocol", "func", "var", "let", "typealias",
  ]
}
