"""What is a token?"""
