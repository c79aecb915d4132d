"""Words that people read aloud and type: 256 English and 256 French ones, so each is worth 8 bits.

All are lower-case ASCII (French words that need an accent lose it or are left out), 3 to 8 letters;
no word is in both lists; within a list no two begin with the same four letters or differ by one
letter. `tests/identity/test_identity_words.py` holds the lists to that. The order is on the wire
(check words) and may never change.
"""

from __future__ import annotations

_ENGLISH = """
    acid acorn actor adult agent alarm album alley almond amber anchor angel ankle apple april
    apron arrow atlas attic autumn axis bacon badge bagel baker bamboo banana banjo barrel basil
    basket beach beaver bell bonus bottle branch bread breeze brick bridge broom bubble bucket
    butter cabin cactus camel candle canoe canvas carpet carrot castle cedar cello cereal chalk
    cherry chess cinema circle citrus clay cliff clock cloud clover cobra coffee comet copper
    coral cotton cousin coyote crab cradle crayon crown cumin daisy dance deer denim desert
    dinner doctor donkey dragon drum duck dune eagle earth easel echo elbow elm engine fabric
    falcon farmer fern ferry fiddle finger fjord flame flower flute forest fossil fox frost
    galaxy garden garlic gecko geyser glove goat goblet gold grape gravel guitar hammer harbor
    harp hawk hazel helmet heron hippo honey hornet horse hotel husky ice igloo indigo iris
    island ivory jacket jaguar jelly jewel jigsaw jungle kayak kettle kiosk kiwi koala ladder
    lagoon lava lemon lilac lily lizard locket lotus lunar lynx magnet mango maple marble meadow
    mirror mitten moon moose mosaic motor muffin napkin nectar needle nephew nickel noodle north
    nutmeg oasis olive omelet onion opera orchid osprey otter oven owl oyster paddle palace
    panda papaya pasta peanut pebble pencil pepper piano pickle pigeon pillow pirate planet plum
    polar pony poppy potato puzzle python quail quartz quilt rabbit radish raven river robin
    rose ruby salad satin scarf shark shell skunk sled sloth snail squid sugar swan syrup taco
    tiger toast torch tulip uncle wagon water wheat wolf yacht zebra
"""
ENGLISH = tuple(_ENGLISH.split())
"""256 English words, sorted."""

_FRENCH = """
    abeille abricot acacia acier affiche agneau agrume aigle ail amande ananas ancre arbre
    ardoise armoire asperge automne aviron avoine bague balai baleine ballon barque basilic
    bateau beurre biche bijou bocal boeuf bois bonnet bouchon bougie bouton brebis brioche
    brique brochet brume buisson bureau cabane cahier caillou camion canard caneton caramel
    casque cerise chaise chaleur chameau charbon chaton chemise cheval chien cigale cigogne
    ciseau citron clairon cloche cochon colline colombe corbeau corde coucou courge couteau
    crapaud crocus cuisine cuivre dauphin dindon drapeau eau ecluse ecorce enclume epi etable
    etoile fable faisan falaise farine fenouil ferme feuille figue flacon fleur fougere foulard
    fourmi fraise frelon fromage fumee fusain gant gare gazon genou givre glace goudron goutte
    graine grange grenier grillon grotte haie hamac haricot herbe hibou homard horloge houx
    huile huitre iguane image jambon jardin jaune jeudi jouet journal jument jupe kiosque lac
    laine laitue lampe lapin lavande levain levure licorne lierre ligne limace lin loup loutre
    lucarne lundi lutin luzerne maison manteau marche mardi marron melon menthe merle mesange
    meuble miel mimosa miroir moineau mouche moulin mur muscade navet navire neige neveu nid
    noix nuage oie oignon ombre orage ortie ourson outil pain panier pastis pavot peigne pelle
    persil phare pinson pivert plage poire pomme porte poule prune puits quille racine radeau
    raisin rame reine renard requin rivage riz rocher roseau rouge ruban ruche sabot safran
    saule savon sel singe soleil soupe source sucre taille talus tapis tasse taupe tente terre
    thon thym toit tortue toucan train trefle tricot truite vache vent verger veste voile volet
    yaourt
"""
FRENCH = tuple(_FRENCH.split())
"""256 French words, sorted."""

LISTS = {"en": ENGLISH, "fr": FRENCH}
"""By language. Codes may be made from either and are understood from both."""

KNOWN = frozenset(ENGLISH) | frozenset(FRENCH)


def words_of(data: bytes, language: str = "en") -> tuple[str, ...]:
    """One word per byte, from the list of `language` (English when there is none for it)."""
    words = LISTS.get(language, ENGLISH)
    return tuple(words[byte] for byte in data)
