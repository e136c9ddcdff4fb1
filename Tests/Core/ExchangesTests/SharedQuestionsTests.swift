import Calls
import CoreSamples
import Firewall
import ONCRPC
import Policy
import Portmapper
import Testing

@testable import Exchanges

@Suite("shared questions") struct SharedQuestionsTests {
    private static let questions: [Question] = [
        .registry, .port(of: .nfs), .registration(.set(.v4, RPCB(.nfs, 3, .udp, port: 1))),
    ]

    @Test(
        "an answer serves those who asked before it was sent, never those who came later", arguments: questions.indices)
    func sharing(first: Int) {
        var questions = SharedQuestions<Int>()
        let question = Self.questions[first]
        let others = Self.questions.indices.filter { $0 != first }
        #expect(questions.join(1, question, at: .zero) == true)
        #expect(questions.join(2, question, at: .zero) == false)
        #expect(questions.join(3, question, at: .zero) == false)
        for other in others { #expect(questions.join(40 + other, Self.questions[other], at: .zero) == true) }
        #expect(questions.count == 3)
        var answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([1], true))
        #expect(questions.join(5, question, at: .zero) == false)
        answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([2, 3], true))
        answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([5], false))
        answer = questions.answered(question, at: .zero)
        #expect((answer.served, answer.isAskedAgain) == ([], false))
        #expect(questions.count == 2)
        for other in others { #expect(questions.answered(Self.questions[other], at: .zero).served == [40 + other]) }
        #expect(questions.join(6, question, at: .zero) == true)
    }

    @Test("the registry is asked for by DUMP of version 4, a port by GETPORT")
    func calls() {
        #expect(Question.registry.call == .dump(.v4))
        #expect(Question.port(of: .nfs).call == .port(of: .nfs))
    }
}
