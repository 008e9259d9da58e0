"""Facts as conversations: questions in many wordings, in the form of ChatML."""

import random

from wordnet import article

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

QUESTIONS = {
    "noun": ["What is {a}?", "What is {a}?", "What is {w}?", "What's {a}?", "Define {w}.", "Tell me about {a}.", "Explain what {a} is."],
    "verb": ["What does it mean to {w}?", "What does to {w} mean?", "Define to {w}.", "What is to {w}?"],
    "quality": ["What does {w} mean?", "What is {w}?", "What does it mean to be {w}?", "Define {w}."],
    "meaning": ["What does {w} mean?", "What is the meaning of {w}?", "What does the word {w} mean?", "Define {w}.", "{w}", "Explain {w}."],
    "synonym": ["What is another word for {w}?", "What is a synonym of {w}?", "Another word for {w}?", "Give me a synonym for {w}."],
    "opposite": ["What is the opposite of {w}?", "What is the antonym of {w}?", "Opposite of {w}?"],
    "example": ["Use {w} in a sentence.", "Use the word {w} in a sentence.", "Give me an example of {w}.", "Write a sentence with {w}."],
    "kind": ["What kind of thing is {a}?", "What sort of thing is {w}?", "What is {a} a kind of?", "What kind of thing is {w}?"],
    "kinds": ["Name some kinds of {w}.", "What kinds of {w} are there?", "Which kinds of {w} do you know?", "Give me examples of kinds of {w}."],
    "parts": ["What are the parts of {a}?", "Name a part of {a}.", "What does {a} consist of?", "What parts does {a} have?"],
}

ABOUT = (
    "I am the demo model of Cantus: small, and trained on a dictionary. Ask me what a word means, "
    "for its opposite, for another word, or for kinds of something."
)

SMALL_TALK = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hey", "Hi there", "Good morning", "Good evening"], "Hello! Ask me what a word means."),
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "What can you do?", "Help", "What should I ask?", "What can I ask you?"], ABOUT),
    (["Thanks", "Thank you", "Thank you!", "Thanks a lot", "Good", "Nice", "Great"], "You are welcome."),
    (["Bye", "Goodbye", "See you"], "Goodbye!"),
    (["How are you?", "How do you do?"], "I am well, thank you. Which word shall I explain?"),
    (["Are you human?", "Are you a robot?", "Are you intelligent?"], "No, I am a very small language model."),
]


def ask(fact, r):
    """A question for a fact, worded by chance."""
    q = r.choice(QUESTIONS[fact.ask]).format(w=fact.word, a=article(fact.word))
    x = r.random()
    if x < 0.1:
        q = q[0].lower() + q[1:]
    elif x < 0.2:
        q = q.rstrip("?.")
    elif x < 0.25:
        q = q[0].lower() + q[1:].rstrip("?.")
    return q


def exchange(question, answer):
    """What is read, and what is learnt."""
    return f"{START}user\n{question}{STOP}\n{START}assistant\n", f"{answer}{STOP}"


def epoch(facts, seed):
    """Every fact once, in conversations of a few exchanges: lists of (read, learnt)."""
    r = random.Random(seed)
    order = list(facts)
    r.shuffle(order)
    at = 0
    while at < len(order):
        if r.random() < 0.04:  # text that is no conversation
            some = order[at : at + 3]
            yield [("", "\n".join(f.answer for f in some) + "\n")]
            continue
        n = r.choice([1, 1, 2, 3, 4, 6])
        talk = [exchange(ask(f, r), f.answer) for f in order[at : at + n]]
        at += n
        if r.random() < 0.06:
            questions, answer = r.choice(SMALL_TALK)
            talk.insert(r.choice([0, len(talk)]), exchange(r.choice(questions), answer))
        yield [(("\n" if i else "") + read, learnt) for i, (read, learnt) in enumerate(talk)]
