import Foundation
import Testing

private let crowdSecRoot = ProcessInfo.processInfo.environment["RPCWARDEN_CROWDSEC"] ?? ""
private let isCrowdSecInstalled = FileManager.default.isExecutableFile(atPath: "\(crowdSecRoot)/usr/bin/crowdsec")

extension LabTests {
    /// CrowdSec's own parser and scenario engine on real lines, without its hub. `crowdsec` is a package of 110
    /// MB, which scripts/test does not install. RPCWARDEN_CROWDSEC names the folder of an unpacked package.
    @Suite(
        "CrowdSec", .lab(.rpcbind, .daemon, settings: "quarantine: false"),
        .enabled(if: isCrowdSecInstalled, "needs crowdsec; see RPCWARDEN_CROWDSEC")
    )
    struct CrowdSecTests {
        @Test("takes contrib's files, and bans whoever asks as a stranger or enumerates over TCP, and nobody else")
        func scenarios() async throws {
            let lab = try Lab.current
            try await lab.makeDenials()
            let log = try String(contentsOfFile: "\(lab.state)/audit.jsonl", encoding: .utf8)
            let line = { (fields: String) in #"{"ts":"2026-11-21T12:00:03.250Z","# + fields + "}\n" }
            let strikes = { (client: String, rest: String) in
                String(repeating: line(#""event":"enumeration","client":"\#(client)",\#(rest)"#), count: 6)
            }
            let more =
                strikes(
                    "10.79.0.1", #""transport":"tcp","detail":"programs 7 8; reasons no-rule stranger; looks like x""#)
                + strikes("10.79.0.3", #""transport":"udp","detail":"reasons stranger""#)
                + strikes("10.79.0.4", #""transport":"tcp","detail":"reasons stranger","enforced":false"#)
                + strikes("10.79.0.5", #""transport":"tcp","detail":"programs 7 8; reasons no-rule""#)
            try lab.write(log + more, to: "seen.jsonl")
            try lab.write(Self.script(lab), to: "crowdsec.sh")
            let output = try lab.exec(.stranger, "sh", "\(lab.state)/crowdsec.sh", seconds: 60)
            #expect(output.isSuccess, "\(output)")
            let dump = try String(contentsOfFile: "\(lab.state)/crowdsec/dump/bucket-dump.yaml", encoding: .utf8)
            let banned = Set(dump.matches(of: /\n +ip: (\S+)/).map { String($0.1) })
            #expect(banned == ["10.77.4.2", "10.79.0.1"], "\(banned)")
        }

        /// Configures CrowdSec in the lab's folder, runs its own check, and has it read the log once from end to
        /// end.
        private static func script(_ lab: Lab) -> String {
            let folder = "\(lab.state)/crowdsec"
            return """
                set -eu
                mkdir -p \(folder)/parsers/s00-raw \(folder)/parsers/s01-parse \(folder)/parsers/s02-enrich \
                    \(folder)/scenarios \(folder)/data \(folder)/hub \(folder)/dump
                cd \(folder)
                cp -r \(crowdSecRoot)/etc/crowdsec/patterns \(crowdSecRoot)/etc/crowdsec/profiles.yaml \(crowdSecRoot)/etc/crowdsec/simulation.yaml .
                cp \(crowdSecRoot)/usr/share/crowdsec/hub/.index.json hub/
                cp \(crowdSecRoot)/usr/share/crowdsec/hub/parsers/s00-raw/crowdsecurity/syslog-logs.yaml parsers/s00-raw/
                cp \(crowdSecRoot)/usr/share/crowdsec/hub/parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml parsers/s02-enrich/
                cp \(Contrib.folder)/crowdsec/parsers/s01-parse/rpcwarden.yaml parsers/s01-parse/
                cp \(Contrib.folder)/crowdsec/scenarios/rpcwarden-enumeration.yaml scenarios/
                cp \(Contrib.folder)/crowdsec/acquis.yaml .
                touch credentials.yaml
                cat >config.yaml <<CONFIG
                common: {daemonize: false, log_media: stdout, log_level: info, working_dir: .}
                config_paths: {config_dir: \(folder), data_dir: \(folder)/data, simulation_path: \(folder)/simulation.yaml,
                  hub_dir: \(folder)/hub, index_path: \(folder)/hub/.index.json}
                crowdsec_service: {acquisition_path: \(folder)/acquis.yaml, parser_routines: 1}
                cscli: {output: human}
                db_config: {log_level: info, type: sqlite, db_path: \(folder)/data/crowdsec.db}
                prometheus: {enabled: false}
                api:
                  client: {credentials_path: \(folder)/credentials.yaml}
                  server: {log_level: info, listen_uri: 127.0.0.1:8080, profiles_path: \(folder)/profiles.yaml}
                CONFIG
                \(crowdSecRoot)/usr/bin/cscli -c config.yaml machines add lab --auto --force -f credentials.yaml -u http://127.0.0.1:8080
                \(crowdSecRoot)/usr/bin/crowdsec -c config.yaml -t
                \(crowdSecRoot)/usr/bin/crowdsec -c config.yaml -no-capi -dsn file://\(lab.state)/seen.jsonl -type rpcwarden \
                    -dump-data dump

                """
        }
    }
}
