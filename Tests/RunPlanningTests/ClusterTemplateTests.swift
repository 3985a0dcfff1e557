import Foundation
import Testing

@testable import RunPlanning

/// `launch/mpijob.yaml` and `launch/hosts.example`, which nothing here runs: what must agree in them does.
@Suite struct ClusterTemplateTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

  private static func bytes(of path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: "\(root)/\(path)")))
  }

  /// The scalar, or the items of a list of scalars, at a path of keys and places in lists.
  private func texts(_ root: YAMLNode, _ path: String...) throws -> [String] {
    var node = root
    for step in path {
      switch node.content {
      case .mapping(let entries):
        node = try #require(entries.first { $0.key == step }, "\(path): no \(step)").value
      case .sequence(let items): node = items[try #require(Int(step))]
      default: Issue.record("\(path): nothing below \(node.place)")
      }
    }
    if case .sequence(let items) = node.content { return try items.flatMap { try texts($0) } }
    guard case .scalar(let text, _) = node.content else { return [] }
    return [text]
  }

  @Test func theJobOfTheOperatorAgreesWithItself() throws {
    let job = try YAMLReader.read(Self.bytes(of: "launch/mpijob.yaml"), source: "mpijob.yaml")
    #expect(try texts(job, "apiVersion") == ["kubeflow.org/v2beta1"])
    #expect(try texts(job, "kind") == ["MPIJob"])
    #expect(try texts(job, "spec", "mpiImplementation") == ["OpenMPI"])
    let replicas = ["spec", "mpiReplicaSpecs"]
    func number(_ path: String...) throws -> Int {
      var node = job
      for step in path {
        guard case .mapping(let entries) = node.content else { break }
        node = try #require(entries.first { $0.key == step }).value
      }
      return try #require(Int(try texts(node).first ?? ""))
    }
    let slots = try number("spec", "slotsPerWorker")
    let workers = try number(replicas[0], replicas[1], "Worker", "replicas")
    let words = try texts(
      job, "spec", "mpiReplicaSpecs", "Launcher", "template", "spec", "containers", "0", "command")
    func value(_ option: String) throws -> String {
      let place = try #require(words.firstIndex(of: option), "\(words)")
      return words[place + 1]
    }
    #expect(words.first == "/opt/repvgg/launch/train")
    #expect(try value("--ranks") == "\(slots * workers)")
    #expect(try value("--hosts") == "/etc/mpi/hostfile")
    let cores = try texts(
      job, "spec", "mpiReplicaSpecs", "Worker", "template", "spec", "containers", "0", "resources",
      "limits", "cpu")
    let threads = try #require(Int(try value("--threads")))
    #expect(cores == ["\(slots * threads)"])
    #expect(try number("spec", "runPolicy", "schedulingPolicy", "minAvailable") == workers + 1)
  }

  @Test func theExampleOfHostsIsRead() throws {
    let text = String(decoding: try Self.bytes(of: "launch/hosts.example"), as: UTF8.self)
    let hosts = try HostList(file: text)
    #expect(hosts.slots == 8)
    #expect(try hosts.argument(ranks: 8) == "node1:4,node2:4")
  }
}
