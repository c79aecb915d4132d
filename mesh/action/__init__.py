"""What is executed and what came of it: actions, input trees and signed results."""
