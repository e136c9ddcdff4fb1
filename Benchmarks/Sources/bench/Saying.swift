import Foundation

func say(_ text: String) { FileHandle.standardOutput.write(Data("\(text)\n".utf8)) }

func complain(_ text: String) { FileHandle.standardError.write(Data("bench: \(text)\n".utf8)) }
